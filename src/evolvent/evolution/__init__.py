"""Seeds are evolved. A trajectory is one seed through all rounds; a method says how each round is made."""

# The methods by name.
EVOL_INSTRUCT = "evol-instruct"
AUTO_EVOL_INSTRUCT = "auto-evol-instruct"
AUTOIF = "autoif"
