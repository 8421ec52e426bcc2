"""Options, each written once, for Python, the command line and recipes alike.

An option is a field of a group; a group is a frozen dataclass; an interface is what a function is given: its arguments
and its groups. ``takes`` makes of ``respond(data, given, reading, calling)`` the function that users call,
``respond(data, teacher=…, limit=…)``; the command line and recipes read the same interface.
"""

from dataclasses import MISSING as MISSING

from evolvent.options.fields import About as About
from evolvent.options.fields import Option as Option
from evolvent.options.fields import OptionError as OptionError
from evolvent.options.fields import OptionTypeError as OptionTypeError
from evolvent.options.fields import argument as argument
from evolvent.options.fields import as_json as as_json
from evolvent.options.fields import checked as checked
from evolvent.options.fields import mapping as mapping
from evolvent.options.fields import names as names
from evolvent.options.fields import option as option
from evolvent.options.fields import options_in as options_in
from evolvent.options.fields import pairs as pairs
from evolvent.options.fields import read_text as read_text
from evolvent.options.fields import share as share
from evolvent.options.fields import typed_name as typed_name
from evolvent.options.interface import Function as Function
from evolvent.options.interface import Interface as Interface
from evolvent.options.interface import collect as collect
from evolvent.options.interface import implements as implements
from evolvent.options.interface import takes as takes
from evolvent.options.shared import DATA as DATA
from evolvent.options.shared import SEEDS as SEEDS
from evolvent.options.shared import SHARING as SHARING
from evolvent.options.shared import Calling as Calling
from evolvent.options.shared import Prices as Prices
from evolvent.options.shared import Reading as Reading
from evolvent.options.shared import dry_run as dry_run
from evolvent.options.shared import engine as engine
from evolvent.options.shared import fresh as fresh
from evolvent.options.shared import gpus_per_shard as gpus_per_shard
from evolvent.options.shared import max_tokens as max_tokens
from evolvent.options.shared import mix_versions as mix_versions
from evolvent.options.shared import preview as preview
from evolvent.options.shared import progress as progress
from evolvent.options.shared import ray_address as ray_address
from evolvent.options.shared import retry_empty as retry_empty
from evolvent.options.shared import retry_failed as retry_failed
from evolvent.options.shared import run_folder as run_folder
from evolvent.options.shared import seed as seed
from evolvent.options.shared import shard as shard
from evolvent.options.shared import shards as shards
from evolvent.options.shared import temperature as temperature
from evolvent.options.shared import top_p as top_p
from evolvent.options.shared import unsafe_execution as unsafe_execution
