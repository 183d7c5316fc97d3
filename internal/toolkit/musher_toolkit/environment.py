"""A job's configuration, and the arguments and variables that it turns into.

The names and forms are the contract of AWS's training toolkit: scripts read
SM_* variables and options that it would give them.
"""

import json
import os

# Hyperparameters of the platform beside those that begin with "sagemaker_":
# none of them reaches the script.
_PREFIX = "sagemaker_"
_OTHERS = ("default_user_module_name", "_tuning_objective_metric")

# The parameters by which the SDK says that instances work together.
_DISTRIBUTIONS = (
    "sagemaker_mpi_enabled",
    "sagemaker_parameter_server_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
    "sagemaker_multi_worker_mirrored_strategy_enabled",
    "sagemaker_torch_distributed_enabled",
)

DEFAULT_BASE = "/opt/ml"
LOOPBACK = "127.0.0.1"
MASTER_PORT = "7777"  # unless the environment names one


class Job:
    """A training job as its folder and its environment describe it.

    parameters are the platform's hyperparameters, hyperparameters the user's,
    both decoded.
    """

    def __init__(self, base, environ):
        self.base = base
        self.code_dir = os.path.join(base, "code")
        self.model_dir = os.path.join(base, "model")
        self.input_dir = os.path.join(base, "input")
        self.config_dir = os.path.join(base, "input", "config")
        self.output_dir = os.path.join(base, "output")
        self.output_data_dir = os.path.join(base, "output", "data")

        self.resources = self._read("resourceconfig.json") or {"current_host": "algo-1", "hosts": ["algo-1"]}
        self.input_data = self._read("inputdataconfig.json")
        given = {name: decode(value) for name, value in self._read("hyperparameters.json").items()}
        self.parameters = {k: v for k, v in given.items() if k.startswith(_PREFIX) or k in _OTHERS}
        self.hyperparameters = {k: v for k, v in given.items() if k not in self.parameters}
        # All of the platform's parameters but those that every framework knows.
        self.framework_parameters = {k: v for k, v in self.parameters.items() if k not in _COMMON}

        self.program = environ.get("SAGEMAKER_PROGRAM") or self.parameters.get("sagemaker_program")
        self.submit_dir = self.parameters.get("sagemaker_submit_directory")
        self.log_level = self.parameters.get("sagemaker_container_log_level", 20)
        self.region = self.parameters.get("sagemaker_region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
        self.framework_module = environ.get("SAGEMAKER_TRAINING_MODULE")
        self.job_name = environ.get("TRAINING_JOB_NAME")
        self.gpus = count_gpus(environ)
        self.cpus = count_cpus()

        self.host = self.resources["current_host"]
        self.hosts = self.resources["hosts"]
        self.interface = self.resources.get("network_interface_name", "eth0")
        self.instance_type = self.resources.get("current_instance_type", "local")
        self.group = self.resources.get("current_group_name", "homogeneousCluster")
        self.groups = {g["instance_group_name"]: g for g in self.resources.get("instance_groups") or []}
        self.distribution_groups = self._distribution_groups()
        self.distribution_hosts = self._distribution_hosts()
        self.master = (self.distribution_hosts or self.hosts)[0]

    def _read(self, name):
        """A configuration file's content; {} where there is none."""
        try:
            with open(os.path.join(self.config_dir, name), encoding="utf-8") as f:
                return json.load(f)
        except FileNotFoundError:
            return {}

    def _distribution_groups(self):
        named = self.framework_parameters.get("sagemaker_distribution_instance_groups")
        if named is not None:
            return named
        return [self.group] if any(self.parameters.get(d) for d in _DISTRIBUTIONS) else []

    def _distribution_hosts(self):
        if not self.groups:
            return list(self.hosts)
        return [h for name, g in self.groups.items() if name in self.distribution_groups for h in g["hosts"]]

    def distributed(self, parameter):
        """Tells whether this instance takes part in the distribution that a
        parameter switches on."""
        return bool(self.parameters.get(parameter)) and self.group in self.distribution_groups

    def channels(self):
        """Folders of the input channels, by name."""
        return {name: os.path.join(self.input_dir, "data", name) for name in self.input_data}

    def arguments(self):
        """The script's arguments: `--name value` in the order of the names."""
        args = []
        for name in sorted(self.hyperparameters):
            args += [_option(name), _argument(self.hyperparameters[name])]
        return args

    def variables(self):
        """The SM_* variables."""
        own = dict(
            self._facts(),
            channels=sorted(self.input_data),
            framework_params=self.framework_parameters,
            hps=self.hyperparameters,
            training_env=self._training_env(),
            user_args=self.arguments(),
        )
        if self.resources.get("topology"):
            own["topology"] = self.resources["topology"]
        own.update(("channel_" + name, folder) for name, folder in self.channels().items())
        own.update(("hp_" + name, value) for name, value in self.hyperparameters.items())
        return {"SM_" + name.upper(): _variable(value) for name, value in own.items()}

    def _training_env(self):
        """SM_TRAINING_ENV: the whole configuration as one object."""
        return dict(
            self._facts(),
            additional_framework_parameters=self.framework_parameters,
            channel_input_dirs=self.channels(),
            distribution_hosts=self.distribution_hosts,
            hyperparameters=self.hyperparameters,
            is_master=self.host == self.master,
            is_modelparallel_enabled=None,
            is_smddpmprun_installed=False,
            is_smddprun_installed=False,
            job_name=self.job_name,
            master_hostname=self.master,
            topology=self.resources.get("topology", []),
        )

    def _facts(self):
        """What is a variable of its own and a part of SM_TRAINING_ENV."""
        return {
            "current_host": self.host,
            "current_instance_group": self.group,
            "current_instance_group_hosts": self.groups.get(self.group, {}).get("hosts", []),
            "current_instance_type": self.instance_type,
            "distribution_instance_groups": self.distribution_groups,
            "framework_module": self.framework_module,
            "hosts": self.hosts,
            "input_config_dir": self.config_dir,
            "input_data_config": self.input_data,
            "input_dir": self.input_dir,
            "instance_groups": list(self.groups),
            "instance_groups_dict": self.groups,
            "is_hetero": len(self.groups) > 1,
            "log_level": self.log_level,
            "model_dir": self.model_dir,
            "module_dir": self.code_dir if self.submit_dir is None else str(self.submit_dir),
            "module_name": module_name(str(self.program)),
            "network_interface_name": self.interface,
            "num_cpus": self.cpus,
            "num_gpus": self.gpus,
            "num_neurons": 0,
            "output_data_dir": self.output_data_dir,
            "output_dir": self.output_dir,
            "output_intermediate_dir": os.path.join(self.output_dir, "intermediate"),
            "resource_config": self.resources,
            "user_entry_point": self.program,
        }

    def cluster_variables(self, environ):
        """What else the images' toolkits set: names for tools, and for
        torch.distributed where the first host listens. A MASTER_PORT that the
        environment brings stays, for several jobs may share this machine."""
        own = {
            "SAGEMAKER_JOB_NAME": str(self.parameters.get("sagemaker_job_name", "")),
            "SAGEMAKER_REGION": self.region,
            "CURRENT_HOST": self.host,
            "MASTER_ADDR": environ.get("MASTER_ADDR") or address(self.master, len(self.hosts)),
            "MASTER_PORT": environ.get("MASTER_PORT") or MASTER_PORT,
            "NCCL_IB_DISABLE": "1",
            "NCCL_DEBUG": "WARN",
        }
        interface = usable_interface(self.interface)
        if interface:
            own.update(NCCL_SOCKET_IFNAME=interface, GLOO_SOCKET_IFNAME=interface)
        return own


_COMMON = frozenset(_OTHERS) | {
    "sagemaker_program",
    "sagemaker_submit_directory",
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "sagemaker_s3_output",
}


def decode(value):
    """A hyperparameter's value: JSON where the text is JSON, else the text."""
    try:
        return json.loads(value)
    except (ValueError, TypeError):
        return value


def module_name(program):
    """The name of the module that a program's file holds."""
    return program[:-len(".py")] if program.endswith(".py") else program


def count_gpus(environ):
    """The GPUs that the job was given, without a process of nvidia-smi."""
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return len([d for d in chosen.split(",") if d.strip() not in ("", "-1")])
    try:
        devices = os.listdir("/dev")
    except OSError:
        return 0
    return len([d for d in devices if d.startswith("nvidia") and d[len("nvidia"):].isdigit()])


def count_cpus():
    """The cores that the job may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def address(host, hosts):
    """Where to reach a host of the job, of whose hosts there are so many. A
    name that means nothing here is that of a process of this machine."""
    if hosts == 1:
        # It only talks to itself: no name server is worth waiting for.
        return host if host in _local_names() else LOOPBACK
    import socket  # only here: its import takes milliseconds

    try:
        socket.gethostbyname(host)
        return host
    except OSError:
        return LOOPBACK


def _local_names():
    try:
        with open("/etc/hosts", encoding="utf-8", errors="replace") as f:
            return f.read().split()
    except OSError:
        return []


def usable_interface(name):
    """The network interface of that name, else the loopback; None where this
    system can't tell."""
    folder = "/sys/class/net"
    for candidate in (name, "lo"):
        if os.path.exists(os.path.join(folder, str(candidate))):
            return str(candidate)
    return None


def _option(name):
    return ("--" if len(name) > 1 else "-") + name if name else ""


def _argument(value):
    """A value as an argument: what Python prints, "" for null, and a=1,b=2 for
    an object."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return ",".join("%s=%s" % item for item in sorted(value.items()))
    return str(value)


def _variable(value):
    """A value as a variable: JSON, but texts as they are and "" for null."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
