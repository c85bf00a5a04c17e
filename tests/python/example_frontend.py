"""A frontend in small: all it knows is the control socket and the description it finds there.

Usage: example_frontend.py CONTROL_SOCKET IMAGE MIRROR

Adopts IMAGE as volume `shop`, mirrors it to MIRROR, takes a snapshot set, writes to production,
restores the set, and prints what it saw as one JSON document.
"""

import json
import sys

import httpx

LABEL = "noon"


class Frontend:
    """Calls operations by the names that /openapi.json gives them."""

    def __init__(self, socket: str) -> None:
        self.http = httpx.Client(
            transport=httpx.HTTPTransport(uds=socket), base_url="http://exshadow", timeout=120
        )
        self.operations = {}
        for path, verbs in (
            self.http.get("/openapi.json").raise_for_status().json()["paths"].items()
        ):
            for verb, operation in verbs.items():
                self.operations[verb, path] = operation

    def call(self, verb: str, path: str, body: object = None, **query: object) -> dict:
        """One call; `path` as the description spells it. Ends the program on a refusal."""
        names = {name: str(query.pop(name)) for name in list(query) if f"{{{name}}}" in path}
        assert (verb, path) in self.operations, f"the description has no {verb} {path}"
        answer = self.http.request(verb, path.format(**names), json=body, params=query)
        if answer.is_error:
            error = answer.json()["error"]
            sys.exit(f"{error['message']} ({error['hint']})")
        return answer.json() if answer.content else {}

    def watch(self, job: dict) -> dict:
        """Follow a job by its events; how it ended, with the progress that was seen."""
        seen, kind = [], ""
        with self.http.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
            for line in events.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "progress":
                    seen.append(json.loads(value)["bytes_done"])
                elif name == "data" and kind == "end":
                    return {**json.loads(value)["job"], "seen": seen}
        sys.exit("the daemon went away")


def main(socket: str, image: str, mirror: str) -> dict:
    frontend = Frontend(socket)
    frontend.call("post", "/v1/volumes", {"name": "shop", "path": image})
    job = frontend.call("post", "/v1/volumes/{name}/plexes", {"path": mirror}, name="shop")["job"]
    mirrored = frontend.watch(job)
    made = frontend.call("post", "/v1/groups/{group}/sets", {"label": LABEL}, group="shop")["set"]
    before = frontend.http.get("/v1/volumes/shop/data", params={"offset": 0, "length": 512})
    frontend.http.put("/v1/volumes/shop/data", params={"offset": 0}, content=b"?" * 512)
    changed = frontend.call("get", "/v1/sets/{id}/diff", id=made["id"])["members"]
    job = frontend.call("post", "/v1/sets/{id}/restore", {"mode": "copy"}, id=made["id"])["job"]
    restored = frontend.watch(job)
    after = frontend.http.get("/v1/volumes/shop/data", params={"offset": 0, "length": 512})
    return {
        "mirrored": mirrored,
        "set": made,
        "changed": changed,
        "restored": restored,
        "same": before.content == after.content,
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
