"""The commands of `datatools`, one file each: parse, call, print.

What a command needs beside click is imported when it is called, so that `--help` answers at once.
"""
