"""Has the packages that receivers use judge deliveries, one JSON object a line, and prints what each says: `package name ok` or `refused`."""

import base64
import json
import sys

import standardwebhooks
import svix

for line in sys.stdin:
    case = json.loads(line)
    body = base64.b64decode(case["body"])
    for package, webhook in (
        ("standardwebhooks", standardwebhooks.Webhook(case["secret"])),
        ("svix", svix.Webhook(case["secret"])),
    ):
        try:
            webhook.verify(body, case["headers"])
            verdict = "ok"
        except Exception:  # each package has an error of its own
            verdict = "refused"
        print(package, case["name"], verdict)
