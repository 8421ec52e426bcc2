"""Options, each written once, for Python, the command line and recipes alike.

An option is a field of a group; a group is a frozen dataclass. ``takes`` makes of ``respond(data, given, reading,
calling)`` the function that users call, ``respond(data, teacher=…, limit=…)``; the command line and recipes read the
same groups.
"""

from evolvent.options.fields import About as About
from evolvent.options.fields import Option as Option
from evolvent.options.fields import OptionError as OptionError
from evolvent.options.fields import argument as argument
from evolvent.options.fields import option as option
from evolvent.options.fields import options_in as options_in
from evolvent.options.fields import typed_name as typed_name
from evolvent.options.shared import Calling as Calling
from evolvent.options.shared import Prices as Prices
from evolvent.options.shared import Reading as Reading
from evolvent.options.shared import max_tokens as max_tokens
from evolvent.options.shared import seed as seed
from evolvent.options.shared import temperature as temperature
from evolvent.options.shared import top_p as top_p
from evolvent.options.taking import Function as Function
from evolvent.options.taking import chosen_method as chosen_method
from evolvent.options.taking import collect as collect
from evolvent.options.taking import options_of as options_of
from evolvent.options.taking import takes as takes
from evolvent.options.typed import as_json as as_json
from evolvent.options.typed import mapping as mapping
from evolvent.options.typed import names as names
from evolvent.options.typed import pairs as pairs
from evolvent.options.values import checked as checked
