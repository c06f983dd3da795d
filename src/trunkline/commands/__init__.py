"""One file for each command, or for a few that belong together: a few lines that call the library, and what is printed."""
