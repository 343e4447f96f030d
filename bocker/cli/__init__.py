"""What a person types: the words become a request, the engine's answer becomes text.

- `main`      the way in, and the only place that catches errors;
- `verbs`     one table: every command with its flags, its words and its help;
- `parser`    reads a command line by that table;
- `settings`  file, environment and `--NAME=VALUE`, each value with its source;
- `output`    tables, JSON, durations, and writing to a pipe that may be closed;
- `commands`  one file a verb.

The real kernel is made here and nowhere else.
"""
