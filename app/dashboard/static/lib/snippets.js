// The same call as the page made, to be run by hand: for curl, and for Python without any package. The token stands
// in neither: it is read from TUNEWELL_TOKEN.

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const whole = (path) => new URL(path, location.origin).href;

export function curlOf(path, body = undefined) {
  const parts = ["curl -sS", '-H "Authorization: Bearer $TUNEWELL_TOKEN"'];
  if (body !== undefined) parts.push("-H 'Content-Type: application/json'", `--data ${quoted(JSON.stringify(body))}`);
  return `${parts.join(" ")} ${quoted(whole(path))}\n`;
}

export function pythonOf(path, body = undefined) {
  const lines = ["import json", "import os", "from urllib.request import Request, urlopen", "", `request = Request(${JSON.stringify(whole(path))})`];
  lines.push('if token := os.environ.get("TUNEWELL_TOKEN"):', '    request.add_header("Authorization", f"Bearer {token}")');
  if (body !== undefined) lines.push('request.add_header("Content-Type", "application/json")', `request.data = ${JSON.stringify(JSON.stringify(body))}.encode()`);
  lines.push("with urlopen(request) as answer:", "    found = json.load(answer)", "print(json.dumps(found, indent=2))", "");
  return lines.join("\n");
}
