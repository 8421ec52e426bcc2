"""The ``evolvent`` command, also as ``python -m evolvent``.

What it needs is imported when Ctrl-C can end it without a word: there is nothing to be said of it yet.
"""

try:
    import signal
except KeyboardInterrupt:
    raise SystemExit(130) from None


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from evolvent.cli import main as run

    run()


if __name__ == "__main__":
    main()
