"""`python -m tunewell`: the command line."""

from .lifeline import hold

if __name__ == "__main__":
    # Before anything is loaded: the parent may be gone by then.
    hold()
    from .cli import main

    main()
