package main

// initialConfig keeps some twenty attributes: enough to say who is who and who
// may do what, and what privacy will ask about is left out by default.
const initialConfig = `# Configuration of oktasync. config.example.yaml has every key with its default.
okta:
  # The org's address: not the admin console's (acme-admin.okta.com).
  org_url: @org_url@
  # The service app's client ID.
  client_id: @client_id@
  # Signs the client assertion. Readable by its owner alone.
  private_key_file: @private_key_file@
@okta@store:
  path: snapshots
@store@exports:
  - name: all-users
    schedule: "0 6 * * *" # for oktasync run
    time_zone: UTC
    users:
      attributes:
        # What a snapshot keeps of each user; anything else touches no disk.
        # "include: []" keeps everything that Okta returns.
        include:
          - id
          - status
          - created
          - activated
          - statusChanged
          - lastLogin
          - lastUpdated
          - passwordChanged
          - type.id
          - profile.login
          - profile.email
          - profile.firstName
          - profile.lastName
          - profile.displayName
          - profile.title
          - profile.department
          - profile.division
          - profile.costCenter
          - profile.employeeNumber
          - profile.userType
          - profile.manager
          - profile.managerId
`

// changeRequest is a page for whoever holds Super Admin in Okta.
const changeRequest = `CHANGE REQUEST: read-only service app "oktasync" in @org@

Purpose   oktasync keeps a dated, verifiable record of who is in the org. It reads
          users and changes nothing: GET at the API, POST at the token endpoint.

To do, in the Admin Console
  1. Applications > Create App Integration > API Services. Name: oktasync.
  2. General > Client Credentials > Edit: Public key / Private key, Add key, and
     paste:

@jwk@

  3. General > General Settings > Proof of possession: leave "Require DPoP" on.
  4. Okta API Scopes: grant okta.users.read. No other scope.
  5. Admin roles > Edit assignments: Read-only Administrator. No other role. It is
     the smallest standard one that sees all users. Smaller is a custom role with
     "View users and their details" alone, over a resource set of all users; one
     over some groups would leave people out, and Okta would not say so.
  6. Application rate limits: half of each limit, which is Okta's default, is more
     than enough; oktasync takes half of what it is shown.
  7. Where network zones limit apps (General > Network), which holds for the token
     endpoint and for the API, let this host in:
     @origin@

To send back
  The app's client ID.

To undo
  Deactivate, then delete the app. Tokens end within an hour. Nothing else in the
  org was changed.
`
