"""``python -m evolvent`` is the ``evolvent`` command."""

from evolvent.cli import main

main()
