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
    last traceback, or its last lines. Where torchrun tells of its processes'
    failure, it is the first traceback: the other processes fail of the first."""
    lines = output.rstrip().splitlines()
    found = _tracebacks(lines)
    own = [t for t in found if not t.exception.startswith("torch.distributed.elastic")]
    if not own:
        return _cut_front("\n".join(lines[-LAST_LINES:]), FRAMES + EXCEPTION).strip()
    at = own[-1] if len(own) == len(found) else _end_of_chain(lines, own)
    after = [t.start for t in found if t.start > at.end]
    frames = _cut_front("\n".join(lines[at.start + 1:at.end]), FRAMES)
    exception = "\n".join(lines[at.end:min(after, default=len(lines))])[:EXCEPTION]
    return (frames + "\n" + exception).strip()


class _Traceback:
    """start and end are the indices of its first line and of its exception's."""

    def __init__(self, start, end, exception):
        self.start, self.end, self.exception = start, end, exception


def _tracebacks(lines):
    """The whole tracebacks; what the output cut short is none."""
    found = []
    for start, line in enumerate(lines):
        prefix, header, _ = line.partition("Traceback (most recent call last)")
        if not header:
            continue
        for end in range(start + 1, len(lines)):  # prefix is "[rank0]: " of a launcher
            text = lines[end][len(prefix):]
            if lines[end].startswith(prefix) and text[:1] not in ("", " ", "\t"):
                found.append(_Traceback(start, end, text))
                break
    return found


def _end_of_chain(lines, tracebacks):
    """The last of the tracebacks that the first leads to: exceptions raised
    from it, or while it was handled."""
    at = tracebacks[0]
    for t in tracebacks[1:]:
        between = "\n".join(lines[at.end:t.start])
        if "the above exception" not in between.lower():
            break
        at = t
    return at


def _cut_front(text, size):
    """The last size characters of text, from the start of a line where one is."""
    if len(text) <= size:
        return text
    cut = text[-size:]
    return cut[cut.find("\n") + 1:]
