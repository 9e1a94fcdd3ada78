"""Examines what a cluster or a compose would be given, with the libraries that they use themselves.

    check.py sbom FILE                 against CycloneDX's schema
    check.py compose FILE              against the compose specification
    check.py chart FOLDER BINARY       rendered by Helm's own engine, against the schemas of Kubernetes
    check.py chart-refuses FOLDER      values that must be refused, each with the words that help
    check.py site FOLDER               a site of mdBook: each link within it leads to a page, a place or a file
"""

import json
import re
import subprocess
import sys
import tempfile
from html import unescape
from pathlib import Path

import yaml

# The oldest version that the chart allows, and the newest that there are schemas of.
KUBERNETES = ["1.25", "1.37"]


def sbom(file):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonValidator

    text = Path(file).read_text()
    wrong = JsonValidator(SchemaVersion.V1_5).validate_str(text)
    assert wrong is None, wrong
    bill = json.loads(text)
    known = {component["bom-ref"] for component in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert len(known) == len(bill["components"]) + 1, "each component is listed once"
    for entry in bill["dependencies"]:
        missing = {entry["ref"], *entry["dependsOn"]} - known
        assert not missing, missing
    reached, left = set(), [bill["metadata"]["component"]["bom-ref"]]
    needs = {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]}
    while left:
        here = left.pop()
        if here not in reached:
            reached.add(here)
            left += needs[here]
    assert reached == known, f"nothing needs {known - reached}"


def compose(file):
    import compose_spec

    file = Path(file)
    # As compose does before it reads: variables by their defaults, `$$` is a dollar.
    text = json.dumps(yaml.safe_load(file.read_text()))
    text = re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", text)
    assert not re.search(r"(?<!\$)\$\{?\w", text), "every variable has a default"
    compose_spec.PyCompose.from_json(text).validate()
    data = json.loads(text)
    services, volumes, secrets = data["services"], data.get("volumes") or {}, data.get("secrets") or {}
    assert services["pointsman"]["deploy"]["replicas"] == 2
    for name, service in services.items():
        assert not set(service.get("depends_on") or []) - set(services), name
        depends = service.get("depends_on")
        for other, how in depends.items() if isinstance(depends, dict) else []:
            assert how["condition"] != "service_healthy" or "healthcheck" in services[other], f"{other} has no healthcheck"
        assert not set(service.get("secrets") or []) - set(secrets), name
        for mount in service.get("volumes") or []:
            source = mount.split(":")[0]
            here = source.startswith(".") and (file.parent / source).exists()
            assert here or source in volumes, f"{name} mounts {source}, which is not there"
        for port in service.get("ports") or []:
            assert port.startswith("127.0.0.1:"), f"{name} opens {port} to every network"


def rendered(folder, values):
    """The objects of the chart with some values."""
    import helm_python as helm

    report = helm.lint(folder, values, strict=True)
    serious = [message for message in report["messages"] if message["severity"] >= 2]
    assert not serious and not report["errors"], report
    with helm.Chart.load(folder) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name="llm", namespace="prod")
    assert "base_url=http://" in files.pop("pointsman/templates/NOTES.txt")
    return [each for text in files.values() for each in yaml.safe_load_all(text) if each]


def refers(objects):
    """The names by which objects refer to each other are names that there are."""
    by = lambda kind: {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}
    matches = lambda selector, labels: selector.items() <= labels.items()
    workloads = [*by("Deployment").values(), *by("StatefulSet").values()]
    for workload in workloads:
        template = workload["spec"]["template"]
        labels, pod = template["metadata"]["labels"], template["spec"]
        assert matches(workload["spec"]["selector"]["matchLabels"], labels)
        claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in pod["volumes"]} | claims
        for container in pod["containers"]:
            mounts = [mount["name"] for mount in container["volumeMounts"]]
            assert set(mounts) == volumes, "each volume is mounted, and each mount a volume"
            assert not any("subPath" in mount for mount in container["volumeMounts"]), "a file by subPath is never reloaded"
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                kind = container.get(probe, {})
                asked = kind.get("httpGet") or kind.get("tcpSocket")
                assert asked is None or asked["port"] in ports, probe
            # What Kubernetes calls the restricted profile.
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False and rights["capabilities"] == {"drop": ["ALL"]}
            assert rights["readOnlyRootFilesystem"] is True
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        assert pod["automountServiceAccountToken"] is False
    pods = [workload["spec"]["template"] for workload in workloads]
    for service in by("Service").values():
        behind = [pod for pod in pods if matches(service["spec"]["selector"], pod["metadata"]["labels"])]
        assert len(behind) == 1, f"{service['metadata']['name']} has one workload behind it"
        ports = {port["name"] for container in behind[0]["spec"]["containers"] for port in container["ports"]}
        assert all(port["targetPort"] in ports for port in service["spec"]["ports"])
    deployment = next(iter(by("Deployment").values()))
    for scaler in by("HorizontalPodAutoscaler").values():
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        assert "replicas" not in deployment["spec"], "the autoscaler decides"
    for budget in by("PodDisruptionBudget").values():
        assert matches(budget["spec"]["selector"]["matchLabels"], deployment["spec"]["template"]["metadata"]["labels"])
    for ingress in by("Ingress").values():
        for rule in ingress["spec"]["rules"]:
            for each in rule["http"]["paths"]:
                service = by("Service")[each["backend"]["service"]["name"]]
                assert each["backend"]["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    for monitor in by("ServiceMonitor").values():
        found = [each for each in by("Service").values() if matches(monitor["spec"]["selector"]["matchLabels"], each["metadata"]["labels"])]
        assert len(found) == 1, "one service is scraped"
        assert {port["name"] for port in found[0]["spec"]["ports"]} == {each["port"] for each in monitor["spec"]["endpoints"]}
    return deployment


def served(objects, deployment, binary):
    """The configuration is one that the program accepts, and the pod lets the drain finish."""
    maps = [each for each in objects if each["kind"] == "ConfigMap"]
    if not maps:
        return
    config = yaml.safe_load(maps[0]["data"]["proxy_config.yaml"])
    server = config["server"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert server["host"] == "0.0.0.0" and server["port"] == ports["http"]
    assert server.get("admin", {}).get("port") == ports.get("admin")
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= server["drain_delay"] + server["drain_timeout"] + 5, grace
    with tempfile.TemporaryDirectory() as folder:
        # What the cluster would mount, here; a component and a certificate are not at hand.
        config.pop("strategies", None)
        config.get("routing", {}).pop("strategy", None)
        server.pop("tls", None)
        text = yaml.safe_dump(config)
        for path in set(re.findall(r"/run/secrets/[\w/-]+", text)):
            file = Path(folder, path.lstrip("/"))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"sk-{file.name}-0123456789abcdef")
            text = text.replace(path, str(file))
        file = Path(folder, "proxy_config.yaml")
        file.write_text(text)
        checked = subprocess.run([binary, "check", file], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


def chart(folder, binary):
    import kubernetes_validate

    version = re.search(r'\[workspace\.package\]\s*\nversion = "([^"]+)"', Path("Cargo.toml").read_text()).group(1)
    named = yaml.safe_load(Path(folder, "Chart.yaml").read_text())
    assert (named["version"], named["appVersion"]) == (version, version), "the chart has the version of the program"
    seen = set()
    for file in sorted(Path(folder, "ci").glob("*-values.yaml")):
        objects = rendered(folder, yaml.safe_load(file.read_text()))
        for each in objects:
            seen.add(each["kind"])
            # The schema of the Prometheus operator's is in none of them; `refers` looks at it.
            for kubernetes in KUBERNETES if each["kind"] != "ServiceMonitor" else []:
                kubernetes_validate.validate(each, kubernetes, strict=True)
        served(objects, refers(objects), binary)
    wanted = "ConfigMap Deployment HorizontalPodAutoscaler Ingress NetworkPolicy PodDisruptionBudget Service ServiceAccount ServiceMonitor StatefulSet"
    assert seen == set(wanted.split()), seen
    # The check itself can fail.
    try:
        kubernetes_validate.validate({**objects[-1], "specs": {}}, KUBERNETES[-1], strict=True)
    except kubernetes_validate.ValidationError:
        return
    raise AssertionError("a wrong object was accepted")


LEAST = {"config": {"providers": [{"name": "a", "base_url": "http://a/v1", "api_key": "k"}]}}
REFUSED = [
    ({}, "config.providers is empty"),
    ({**LEAST, "admin": {"enabled": True}}, "admin.existingSecret is empty"),
    ({**LEAST, "valkey": {"enabled": True}}, "valkey.existingSecret is empty"),
    ({**LEAST, "serviceMonitor": {"enabled": True}}, "serviceMonitor.enabled needs admin.enabled"),
    ({**LEAST, "ingress": {"enabled": True}}, "ingress.host is empty"),
    ({**LEAST, "autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 2}}, "larger than autoscaling.maxReplicas"),
    ({**LEAST, "autoscaling": {"enabled": True, "targetCPU": 0}}, "nothing to go by"),
    ({**LEAST, "replicas": 3}, "replicas"),
    ({**LEAST, "replicaCount": "3"}, "replicaCount"),
    ({"config": {**LEAST["config"], "server": {"port": 9000}}}, "/config/server"),
]


def chart_refuses(folder):
    import helm_python as helm

    for values, words in REFUSED:
        try:
            with helm.Chart.load(folder) as chart:
                chart.validate_schema(values)
                chart.render(values, name="llm", namespace="prod")
        except helm.HelmError as error:
            assert words in str(error), f"{values}: {error}"
        else:
            raise AssertionError(f"accepted: {values}")


def site(folder):
    root, wrong, places = Path(folder).resolve(), [], {}
    pages = [page for page in root.rglob("*.html") if page.name not in ("print.html", "404.html", "toc.html")]
    for page in pages:
        places[page] = set(re.findall(r'id="([^"]+)"', page.read_text()))
    for page in pages:
        for link in map(unescape, re.findall(r'(?:href|src)="([^"]*)"', page.read_text())):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, place = link.partition("#")
            at = (page.parent / path).resolve() if path else page
            at = at / "index.html" if at.is_dir() else at
            if root not in at.parents or not at.exists() or (place and at in places and place not in places[at]):
                wrong.append(f"{page.relative_to(root)}: {link}")
    assert not wrong, "\n".join(wrong)
    print(len(pages), "pages")


{"sbom": sbom, "compose": compose, "chart": chart, "chart-refuses": chart_refuses, "site": site}[sys.argv[1]](*sys.argv[2:])
