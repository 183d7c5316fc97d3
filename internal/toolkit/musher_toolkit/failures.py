"""Failures as texts for /opt/ml/output/failure.

Only the first 1,024 characters of that file become the job's FailureReason, so
the message is kept short enough for the exception to be among them.
"""

FRAMES = 350  # characters of the traceback's last frames
EXCEPTION = 400  # characters of the exception and what follows it
LAST_LINES = 5  # of the output, where there is no traceback


class ClientError(Exception):
    """The user's mistake: the text says what to do about it."""


class CommandError(ClientError):
    """A command of the user's ended badly."""

    def __init__(self, kind, code, output, command, info=None):
        """code is an exit status, 128+n for signal n; output the end of what
        the command wrote (bytes); command its argv."""
        super().__init__()
        self.kind, self.code, self.info = kind, code, info
        self.message = essence(output.decode("utf-8", "replace"))
        self.command = " ".join(command)

    def __str__(self):
        lines = ["%s:" % self.kind, "ExitCode %d" % self.code, 'ErrorMessage "%s"' % self.message]
        if self.info:
            lines.append('ExtraInfo "%s"' % self.info)
        return "\n".join(lines + ['Command "%s"' % self.command])


def essence(output):
    """The part of a command's output that tells why it failed: the end of its
    last traceback, or its last lines."""
    lines = output.rstrip().splitlines()
    for start in reversed(range(len(lines))):
        if "Traceback (most recent call last)" not in lines[start]:
            continue
        prefix = lines[start].split("Traceback")[0]  # "[rank0]: " of a launcher
        end = _exception_line(lines, start, prefix)
        if end is not None and not lines[end][len(prefix):].startswith("torch.distributed.elastic"):
            frames = _cut_front("\n".join(lines[start + 1:end]), FRAMES)
            exception = "\n".join(lines[end:])[:EXCEPTION]
            return (frames + "\n" + exception).strip()
    return _cut_front("\n".join(lines[-LAST_LINES:]), FRAMES + EXCEPTION).strip()


def _exception_line(lines, start, prefix):
    """The index of the line with the exception of the traceback at start; None
    where the output ends before it."""
    for i in range(start + 1, len(lines)):
        line = lines[i]
        if line.startswith(prefix) and line[len(prefix):len(prefix) + 1] not in ("", " ", "\t"):
            return i
    return None


def _cut_front(text, size):
    """The last size characters of text, from the start of a line where one is."""
    if len(text) <= size:
        return text
    cut = text[-size:]
    return cut[cut.find("\n") + 1:]
