"""The user's code: where it comes from, and its way into /opt/ml/code."""

import os

from musher_toolkit.failures import ClientError


def place(job, log):
    """Puts the user's code into job.code_dir, whole or not at all. Code that
    lies there already stays: a job that starts again goes on with its own."""
    if os.path.isdir(job.code_dir) and os.listdir(job.code_dir):
        log.info("%s holds the code already" % job.code_dir)
        return
    source = find(job)
    if source is None or source == job.code_dir:
        os.makedirs(job.code_dir, exist_ok=True)
        return
    staging = os.path.join(job.base, ".code")
    if os.path.lexists(staging):
        import shutil

        shutil.rmtree(staging)  # of a start that was cut short
    if os.path.isdir(source):
        _copy_folder(source, staging)
    else:
        os.mkdir(staging)
        _unpack_or_copy(source, staging)
    os.rename(staging, job.code_dir)


def find(job):
    """The archive, file or folder with the user's code; None without one."""
    archive = os.path.join(job.base, "code.tar.gz")
    channel = os.path.join(job.input_dir, "data", "code")
    if job.submit_dir is None:
        candidates = [channel, archive]
    elif str(job.submit_dir).startswith("s3://"):
        candidates = [archive]
    else:
        candidates = [_local_path(str(job.submit_dir)), archive]
    for candidate in candidates:
        if os.path.exists(candidate):
            return candidate
    if job.submit_dir is None:
        return None
    raise ClientError("the code %s is not here: sagemaker_submit_directory must name a sourcedir.tar.gz in a bucket, or a folder that the job sees" % job.submit_dir)


def _local_path(uri):
    return uri[len("file://"):] if uri.startswith("file://") else uri


def _copy_folder(source, target):
    """Copies without modes: the channels of jobs are read only, their code is
    not."""
    import shutil

    shutil.copytree(source, target, symlinks=True, copy_function=_copy_file)
    for folder, _, _ in os.walk(target):
        os.chmod(folder, 0o755)


def _copy_file(source, target, *, follow_symlinks=True):
    import shutil

    shutil.copyfile(source, target, follow_symlinks=follow_symlinks)
    if not os.path.islink(target):
        os.chmod(target, os.stat(source).st_mode & 0o777 | 0o600)


def _unpack_or_copy(source, folder):
    import tarfile

    try:
        archive = tarfile.open(source, "r:*")
    except tarfile.ReadError:
        _copy_file(source, os.path.join(folder, os.path.basename(source)))
        return
    with archive:
        try:
            unpack(archive, folder)
        except (tarfile.TarError, EOFError) as e:
            raise ClientError("the code %s cannot be unpacked: %s" % (source, e)) from e


def unpack(archive, folder):
    """Unpacks a tarfile.TarFile that a stranger may have made. An entry that
    would end outside of the folder, or is neither file, folder nor link,
    raises ClientError."""
    root = os.path.realpath(folder)
    for entry in archive:
        _check(entry, root)
        entry.mode = entry.mode & 0o777 | (0o700 if entry.isdir() else 0o600)
        entry.uid, entry.gid, entry.uname, entry.gname = os.getuid(), os.getgid(), "", ""
        archive.extract(entry, folder)


def _check(entry, root):
    """Looks at the disk and not only at names: an earlier entry may be a link
    that this one would follow."""
    if not _inside(os.path.join(root, entry.name), root):
        raise ClientError("unsafe archive: the entry %r leaves the folder" % entry.name)
    if entry.issym():
        target = os.path.join(root, os.path.dirname(entry.name), entry.linkname)
    elif entry.islnk():
        target = os.path.join(root, entry.linkname)
    elif entry.isreg() or entry.isdir():
        return
    else:
        raise ClientError("unsafe archive: the entry %r is neither file, folder nor link" % entry.name)
    if not _inside(target, root):
        raise ClientError("unsafe archive: the link %r leaves the folder" % entry.name)


def _inside(path, root):
    real = os.path.realpath(path)
    return real == root or real.startswith(root + os.sep)
