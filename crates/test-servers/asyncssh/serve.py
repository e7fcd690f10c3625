"""An SSH server that asks questions and offers plain SFTP version 3, or with its extensions.

usage: serve.py DIRECTORY PORT QUESTIONS EXTENSIONS

DIRECTORY has the file host_key. The user "tester" logs in by answering the QUESTIONS: a JSON list of [question, answer].
EXTENSIONS is "all" or "none".
"""

import asyncio
import json
import sys

import asyncssh

directory, port, questions, extensions = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        self.user = username
        return True

    def kbdint_auth_supported(self):
        return True

    def get_kbdint_challenge(self, username, lang, submethods):
        self.asked = 0
        return self.challenge()

    def challenge(self):
        return "", "", "", [(questions[self.asked][0], False)]

    def validate_kbdint_response(self, username, responses):
        if username != "tester" or list(responses) != [questions[self.asked][1]]:
            return False
        self.asked += 1
        return True if self.asked == len(questions) else self.challenge()


async def main():
    if extensions == "none":
        asyncssh.sftp.SFTPServerHandler._extensions = []
    await asyncssh.listen(
        "127.0.0.1", port, server_host_keys=[f"{directory}/host_key"], server_factory=Server, sftp_factory=True
    )
    await asyncio.Event().wait()


asyncio.run(main())
