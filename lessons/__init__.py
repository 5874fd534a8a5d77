"""The lessons: percent scripts that run, open as notebooks and are played. `README.md` says how to begin."""
