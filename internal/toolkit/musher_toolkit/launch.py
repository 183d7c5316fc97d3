"""How the user's program is called, and what stands by while it runs."""

import os
import select
import signal
import sys

from musher_toolkit.environment import module_name
from musher_toolkit.failures import ClientError
from musher_toolkit.log import write_all

TAIL = 1 << 16  # bytes of output that are kept to explain a failure

# What only the images of AWS can start.
_UNSUPPORTED = {
    "sagemaker_mpi_enabled": "MPI",
    "sagemaker_pytorch_ddp_enabled": "SageMaker's own DDP launcher",
    "sagemaker_distributed_dataparallel_enabled": "smdistributed.dataparallel",
    "sagemaker_pytorch_xla_multi_worker_enabled": "PyTorch/XLA",
}


def is_package(job):
    """Tells whether the code is a package to be installed and run as a module,
    as the training toolkit decides it."""
    return not job.program.endswith(".sh") and os.path.exists(os.path.join(job.code_dir, "setup.py"))


def command(job):
    """The argv that runs the user's program in the folder of its code."""
    _check(job)
    if job.distributed("sagemaker_torch_distributed_enabled"):
        return _torchrun(job) + job.arguments()
    if is_package(job):
        return [sys.executable, "-m", module_name(job.program)] + job.arguments()
    if job.program.endswith(".py"):
        return [sys.executable, job.program] + job.arguments()
    import shlex

    os.chmod(os.path.join(job.code_dir, job.program), 0o755)
    words = [os.path.join(".", job.program)] + job.arguments()
    return ["/bin/sh", "-c", " ".join(shlex.quote(w) for w in words)]


def _check(job):
    """Raises ClientError for a program that can't be run."""
    program = job.program
    if program.startswith(("-", "/")) or ".." in program.split("/"):
        raise ClientError("the program %r must be a path inside the code, such as train.py" % program)
    if not is_package(job) and not os.path.isfile(os.path.join(job.code_dir, program)):
        there = ", ".join(sorted(os.listdir(job.code_dir))[:20]) or "nothing"
        raise ClientError("the program %s is not in the code, which holds: %s" % (program, there))
    for parameter, name in _UNSUPPORTED.items():
        if job.distributed(parameter):
            raise ClientError('%s can\'t be started here: use distribution={"torch_distributed": {"enabled": True}}' % name)


def _torchrun(job):
    """torchrun, as a module: its script may lie in no PATH."""
    if is_package(job) or not job.program.endswith(".py"):
        raise ClientError("torch_distributed runs Python scripts alone, not %s" % job.program)
    processes = job.parameters.get("sagemaker_mpi_num_of_processes_per_host") or job.gpus or 1
    hosts = job.distribution_hosts
    argv = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(len(hosts)), "--nproc_per_node", str(processes)]
    if len(hosts) == 1:
        # The usual port would be taken as soon as two jobs run on this machine.
        argv += ["--standalone"]
    else:
        argv += ["--master_addr", os.environ["MASTER_ADDR"], "--master_port", os.environ["MASTER_PORT"], "--node_rank", str(hosts.index(job.host))]
    return argv + _first_torchrun() + [job.program]


def _first_torchrun():
    """Options for torchrun before 2.0 under Python 3.11 and later, where it
    takes its own default, not to redirect output, for none at all. It does
    without one for ranks that a mapping leaves out: so the mapping names one
    that is not there."""
    if sys.version_info < (3, 11):
        return []
    import subprocess

    ask = "from importlib.metadata import version; print(version('torch'))"
    found = subprocess.run([sys.executable, "-c", ask], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return ["--redirects", "9:1", "--tee", "9:1"] if found.stdout.startswith((b"0.", b"1.")) else []


def run(argv, environ, folder):
    """Runs a command in a folder, in a process group of its own that SIGTERM
    and SIGINT are passed on to. Its output goes to ours as it comes, stdout
    and stderr in the order written. Returns the exit status, 128+n for signal
    n, and the end of the output (bytes).
    """
    os.chdir(folder)
    output, theirs = os.pipe()
    ended, wake = os.pipe()
    os.set_blocking(output, False)
    os.set_blocking(wake, False)
    group = []  # the process group, once there is one
    asked = []  # the signals that came before

    def forward(number, _frame):
        if group:
            _signal_group(group[0], number)
        else:
            asked.append(number)

    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, forward)
    actions = [(os.POSIX_SPAWN_DUP2, theirs, 1), (os.POSIX_SPAWN_DUP2, theirs, 2)]
    defaults = [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE]
    pid = os.posix_spawn(argv[0], argv, environ, file_actions=actions, setpgroup=0, setsigdef=defaults)
    os.close(theirs)
    group.append(pid)
    for number in asked:
        _signal_group(pid, number)
    try:
        return _relay(pid, output, ended)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        for fd in (output, ended, wake):
            os.close(fd)


def _relay(pid, output, ended):
    """Copies the output until the process has ended, not until all have closed
    it: what the program leaves behind must not keep the job alive."""
    poll = select.poll()
    poll.register(output, select.POLLIN)
    poll.register(ended, select.POLLIN)
    tail = bytearray()
    while True:
        for fd, _ in poll.poll():
            if fd == ended:
                os.read(ended, 512)
            elif not _copy(output, tail):
                poll.unregister(output)
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            _copy(output, tail)  # a pipe holds no more than one reading
            return _exit_status(status), bytes(tail)


def _copy(output, tail):
    """Copies what is there, TAIL bytes at most; False when there will be no
    more."""
    try:
        data = os.read(output, TAIL)
    except BlockingIOError:
        return True
    write_all(1, data)
    tail += data
    del tail[:-TAIL]
    return bool(data)


def _exit_status(status):
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _signal_group(group, number):
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass  # it has just ended
