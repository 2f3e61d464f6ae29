// Has the packages that receivers use judge deliveries, one JSON object a line, and prints what each says: `package name ok` or `refused`.

const { createRequire } = require("node:module");
const path = require("node:path");
const readline = require("node:readline");

const load = createRequire(path.join(process.env.PACKAGES, "package.json"));
const packages = { standardwebhooks: load("standardwebhooks").Webhook, svix: load("svix").Webhook };

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { name, secret, headers, body } = JSON.parse(line);
  const text = Buffer.from(body, "base64").toString("utf8");
  for (const [label, Webhook] of Object.entries(packages)) {
    let verdict = "ok";
    try {
      new Webhook(secret).verify(text, headers);
    } catch {
      verdict = "refused";
    }
    console.log(label, name, verdict);
  }
});
