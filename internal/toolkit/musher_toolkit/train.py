"""Runs a training job's script as the images of AWS would.

The job's folder is /opt/ml, or what SAGEMAKER_BASE_DIR names; the interpreter
that runs this module runs the script. The exit status is the script's.
"""

import os
import traceback

from musher_toolkit import environment, launch, log, packages, sources
from musher_toolkit.failures import ClientError, CommandError


def main():
    """Runs the job; returns the exit status."""
    base = os.environ.get("SAGEMAKER_BASE_DIR", environment.DEFAULT_BASE)
    lines = log.Log()
    try:
        job = environment.Job(base, os.environ)
        lines = log.Log(job.log_level)
        run(job, lines)
    except CommandError as e:
        return fail(base, lines, str(e), e.code)
    except ClientError as e:
        return fail(base, lines, str(e), 1)
    except Exception as e:  # a fault of ours, or of the machine's
        return fail(base, lines, "Framework Error:\n%s\n%s" % (e, traceback.format_exc()), 1)
    return 0


def run(job, lines):
    """Raises ClientError where the script can't be run, or ends badly."""
    if job.base != environment.DEFAULT_BASE:
        lines.info("/opt/ml can't be had here: the job's folder is %s, and SM_* variables point there" % job.base)
    if not job.program:
        raise ClientError("no program: set the hyperparameter sagemaker_program (the SDK's entry_point) to a file of the code, such as train.py")
    if job.parameters.get("sagemaker_s3_output"):
        lines.warning("sagemaker_s3_output is left alone: output/intermediate goes nowhere while the job runs")
    for folder in (job.model_dir, job.output_data_dir):
        os.makedirs(folder, exist_ok=True)
    sources.place(job, lines)
    os.environ.update(job.cluster_variables(os.environ))
    command = launch.command(job)
    added = packages.install(job, launch.is_package(job), lines)
    variables = job.variables()
    lines.debug("Environment variables:\n\n%s\n" % "\n".join("%s=%s" % item for item in variables.items()))
    os.environ.update(variables)
    os.environ.update(_paths(job, added))
    lines.info("Invoking user script\n\n%s\n" % " ".join(command))
    code, output = launch.run(command, os.environ, job.code_dir)
    if code:
        raise CommandError("ExecuteUserScriptError", code, output, command, _killed(code))
    lines.info("Reporting training SUCCESS")
    open(os.path.join(job.output_dir, "success"), "w").close()


def _paths(job, added):
    """PYTHONPATH and PATH with the code and what was installed for it in front."""
    python = [job.code_dir]
    programs = [os.environ.get("PATH", os.defpath)]
    if added:
        modules, folder = added
        python.append(modules)
        programs.insert(0, folder)
    if os.environ.get("PYTHONPATH"):
        python.append(os.environ["PYTHONPATH"])
    return {"PYTHONPATH": os.pathsep.join(python), "PATH": os.pathsep.join(programs)}


def _killed(code):
    """What to add about a script that was killed outright."""
    return "Process killed by SIGKILL (signal 9): often, the machine was out of memory" if code == 128 + 9 else None


def fail(base, lines, text, code):
    """Reports a failure, and keeps its text unless the script left one."""
    lines.error("Reporting training FAILURE\n%s" % text)
    path = os.path.join(base, "output", "failure")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x", encoding="utf-8", errors="replace") as f:
            f.write(text)
    except FileExistsError:
        lines.info("%s is the script's own" % path)
    except OSError as e:
        lines.error("%s can't be written: %s" % (path, e))
    return code
