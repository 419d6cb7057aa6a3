// A client of the sandbox with okta-sdk-nodejs. It prints the ids of all users.
const fs = require("fs");
const okta = require("@okta/okta-sdk-nodejs");

(async () => {
  const client = new okta.Client({
    orgUrl: process.env.OKTA_ORG_URL,
    authorizationMode: "PrivateKey",
    clientId: process.env.OKTA_CLIENT_ID,
    scopes: process.env.OKTA_SCOPES.split(" "),
    privateKey: fs.readFileSync(process.env.OKTA_CC_PRIVATE_KEY_FILE, "utf8"),
  });
  const users = await client.userApi.listUsers();
  await users.each((user) => console.log(user.id));
})();
