"""Runs clients side by side: for each line of standard input, one of JSON with what each of them answers."""

import json
import subprocess
import sys

commands = json.loads(sys.argv[1])
clients = {
    name: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    for name, command in commands.items()
}
for _ in sys.stdin:
    for client in clients.values():
        client.stdin.write("\n")
    print(json.dumps({name: client.stdout.readline().rstrip("\n") for name, client in clients.items()}), flush=True)
for client in clients.values():
    client.stdin.close()
    client.stdout.close()
    client.wait()
