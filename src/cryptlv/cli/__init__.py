"""The command line: one declaration a command, lvm2's names, options and exit statuses."""
