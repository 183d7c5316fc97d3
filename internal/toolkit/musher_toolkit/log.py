"""The toolkit's own lines in the job's log."""

import os
import time

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40

_NAMES = {DEBUG: "DEBUG", INFO: "INFO", WARNING: "WARNING", ERROR: "ERROR"}


class Log:
    """Writes lines as the logging module would, whose import takes longer than
    all else that the toolkit does."""

    def __init__(self, level=INFO):
        """level is a number or a name, as in sagemaker_container_log_level."""
        names = {name: number for number, name in _NAMES.items()}
        self.level = level if isinstance(level, int) else names.get(str(level).upper(), INFO)

    def debug(self, text):
        self._write(DEBUG, text)

    def info(self, text):
        self._write(INFO, text)

    def warning(self, text):
        self._write(WARNING, text)

    def error(self, text):
        self._write(ERROR, text)

    def _write(self, level, text):
        if level < self.level:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        line = "%s,%03d musher-toolkit %-8s %s\n" % (stamp, now % 1 * 1000, _NAMES[level], text)
        write_all(2, line.encode("utf-8", "replace"))


def write_all(fd, data):
    """Writes all of data to a file descriptor, at once and unbuffered."""
    while data:
        data = data[os.write(fd, data):]
