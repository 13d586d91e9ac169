"""``python -m speechlm``: the same as the console script."""

from speechlm.cli import main

if __name__ == "__main__":
    main()
