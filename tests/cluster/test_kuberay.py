"""The KubeRay manifest against Kubernetes' own schemas, and against our own commands and settings.

The RayCluster's schema is 900 kB of its operator's; what is inside its pods is checked as pods, and
its own few fields against their names in KubeRay 1.7.
"""

import re
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from packaging.specifiers import SpecifierSet
from typer.main import get_command

from ourvidz.catalog.config import Settings
from ourvidz.cli.cluster import _LEAVE_MARGIN_S, _RAY_MARGIN_S
from ourvidz.cli.main import app

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy/kuberay/cluster.yaml").read_text(encoding="utf-8")
DOCUMENTS = list(yaml.safe_load_all(TEXT))
KUBERNETES = "1.34"
(CLUSTER,) = [each for each in DOCUMENTS if each["kind"] == "RayCluster"]
GROUPS = [CLUSTER["spec"]["headGroupSpec"], *CLUSTER["spec"]["workerGroupSpecs"]]
GROUP_FIELDS = {
    "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"
}  # fmt: skip


def pods():
    specs = [group["template"]["spec"] for group in GROUPS]
    return specs + [d["spec"]["template"]["spec"] for d in DOCUMENTS if d["kind"] == "Deployment"]


@pytest.mark.parametrize(
    "document", [each for each in DOCUMENTS if each is not CLUSTER], ids=lambda d: d["kind"]
)
def test_what_kubernetes_knows_is_as_its_schemas_say(document):
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("group", GROUPS, ids=["head", "nodes"])
def test_rays_pods_are_pods(group):
    assert set(group) <= GROUP_FIELDS
    metadata = {"name": "x", **group["template"]["metadata"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    kubernetes_validate.validate(
        {**pod, "spec": group["template"]["spec"]}, KUBERNETES, strict=True
    )


def test_ray_asks_for_a_token_and_is_of_the_version_that_is_installed():
    spec = CLUSTER["spec"]
    assert set(spec) == {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
    assert spec["authOptions"] == {"mode": "token", "secretName": "ourvidz-ray"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (ray,) = project["optional-dependencies"]["cluster"]
    assert SpecifierSet(ray.removeprefix("ray")).contains(spec["rayVersion"])
    assert "cluster" in re.findall(r'"\.\[(.+?)\]"', (ROOT / "Dockerfile").read_text())[0]


def test_containers_run_commands_and_options_that_exist():
    commands = get_command(app).commands
    for spec in pods():
        (container,) = spec["containers"]
        words = list(container["args"])
        command = commands[words.pop(0)]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_commands_in_comments_and_hooks_exist():
    cluster = get_command(app).commands["cluster"].commands
    for name in re.findall(r"ourvidz cluster (\w+)", TEXT):
        assert name in cluster
    for name in re.findall(r"OURVIDZ_([A-Z_]+)", TEXT):
        assert name.lower() in Settings.model_fields


def test_nobody_is_root_and_nothing_needs_to_be():
    for spec in pods():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        (container,) = spec["containers"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_node_that_leaves_has_time_to_drain():
    drain_s = Settings.model_fields["queue"].default_factory().drain_s
    spec = CLUSTER["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > drain_s + _LEAVE_MARGIN_S + _RAY_MARGIN_S


def test_only_the_clusters_own_pods_reach_rays_ports():
    (policy,) = [each for each in DOCUMENTS if each["kind"] == "NetworkPolicy"]
    selector = policy["spec"]["podSelector"]["matchLabels"]
    for group in GROUPS:
        assert selector.items() <= group["template"]["metadata"]["labels"].items()
    (rule,) = policy["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": selector}}]
