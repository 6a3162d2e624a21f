# SPDX-License-Identifier: Apache-2.0
"""Every answer that a scenario test gets through Node.request is held to the node's own /openapi.json: its status, and its members, of which
no further ones may be there."""
import json
import re
import uuid

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


class Breach(AssertionError):
    pass


def is_uuid(text):
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


FORMATS = {"uuid": is_uuid, "date-time": TIME.match}


class Contract:
    def __init__(self, document):
        self.document = document
        self.paths = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "$"), path.count("{"), path) for path in document["paths"]]
        self.paths.sort(key=lambda p: p[1])

    def operation(self, method, target):
        """The most exact path that fits; None: there is none."""
        path = target.split("?")[0]
        for pattern, _, name in self.paths:
            operation = self.document["paths"][name].get(method.lower())
            if operation and pattern.match(path):
                return operation
        return None

    def schema_of(self, operation, status):
        responses = operation["responses"] if operation else {}
        answer = responses.get(str(status))
        if answer is None and status < 400:
            raise Breach(f"the document knows no status {status} of it")
        if answer is None:
            return {"$ref": "#/components/schemas/Error"}
        return answer.get("content", {}).get("application/json", {}).get("schema", {})

    def check(self, method, target, status, answer):
        operation = self.operation(method, target)
        if operation is None and status < 400:
            raise Breach(f"{method} {target}: the document has no such operation; describe the route in edge/openapi/operations.tbl")
        try:
            self.holds(self.schema_of(operation, status), answer, "answer")
        except Breach as e:
            raise Breach(f"{method} {target} -> {status}: {e}; edge/openapi/*.tbl say otherwise. The answer: {json.dumps(answer)[:600]}") from None

    def holds(self, schema, value, where):
        if "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
            return self.holds(schema, value, where)
        if "anyOf" in schema:
            return self.one_of(schema["anyOf"], value, where)
        kind = schema.get("type")
        if kind == "integer" and (not isinstance(value, int) or isinstance(value, bool)):
            raise Breach(f"{where} is no integer")
        if kind == "number" and (not isinstance(value, (int, float)) or isinstance(value, bool)):
            raise Breach(f"{where} is no number")
        if kind in KINDS and not isinstance(value, KINDS[kind]):
            raise Breach(f"{where} is no {kind}")
        if "enum" in schema and value not in schema["enum"]:
            raise Breach(f"{where} is {value!r}, none of {schema['enum']}")
        if "maxLength" in schema and len(value) > schema["maxLength"]:
            raise Breach(f"{where} has more than {schema['maxLength']} characters")
        if "format" in schema and not FORMATS[schema["format"]](value):
            raise Breach(f"{where} is no {schema['format']}: {value!r}")
        if kind == "array":
            for i, item in enumerate(value):
                self.holds(schema.get("items", {}), item, f"{where}[{i}]")
        if kind == "object":
            self.members(schema, value, where)

    def one_of(self, schemas, value, where):
        why = []
        for schema in schemas:
            try:
                return self.holds(schema, value, where)
            except Breach as e:
                why.append(str(e))
        raise Breach(" and ".join(why))

    def members(self, schema, value, where):
        properties = schema.get("properties")
        for name in schema.get("required", []):
            if name not in value:
                raise Breach(f"{where}.{name} is missing")
        for name, item in value.items():
            if properties is not None and name not in properties:
                raise Breach(f"{where}.{name} is not in the document")
            self.holds((properties or {}).get(name, schema.get("additionalProperties", {})), item, f"{where}.{name}")
