package sandbox_test

// The rules that the sandbox enforces, and the tests that break them:
//
//	 1 token requests are posted forms                         TestTokenRequest
//	 2 grant_type                                              TestTokenRequest
//	 3 the client assertion, claim by claim                    TestAssertion
//	 4 an unknown client is an error in the API's JSON         TestClientKeys
//	 5 a secret, or two kinds of credentials                   TestTokenRequest
//	 6 scopes: none, none granted, fewer granted               TestTokenRequest, TestGrant
//	 7 expires_in                                              TestGrant, TestTokenEnds
//	 8 proofs at the token endpoint, and the nonce             TestProofForToken
//	 9 an app without DPoP gets Bearer, proof or not           TestNoDPoP
//	10 a nonce's life                                          TestNonceLife, TestNonceEvery
//	11 cnf.jkt                                                 TestGrant
//	12 proofs at the API                                       TestProofAtAPI, TestValidProofAtAPI
//	13 nonces at the API: ignored, or required                 TestValidProofAtAPI, TestNonceAtAPI
//	14 scheme and token must match                             TestTokenAtAPI
//	15 expired, revoked, foreign tokens                        TestTokenEnds, TestTokenAtAPI
//	16 no credentials                                          TestTokenAtAPI
//	17 a missing scope                                         TestScopesAndRoles
//	18 no role: empty, or 403                                  TestScopesAndRoles
//	19 a role over one group                                   TestScopesAndRoles
//	20 headers of all responses                                TestResponseHeaders
//	21 the users in each list                                  TestListedUsers
//	22 limit                                                   TestLimit
//	23 Link headers                                            TestPaging, TestLinkForms
//	24 cursors: opaque, bound to a query, expiring             TestPaging, TestCursorLife
//	25 next repeats the query                                  TestPaging
//	26 wrong next links, short and empty pages                 TestNextFaults
//	27 the languages of filter and search                      TestExpressions
//	28 sorting                                                 TestSort
//	29 an index that lags                                      TestIndexLag
//	30 fields and okta-response                                TestProjection
//	31 forms of users                                          TestGeneratedUsers, TestPut
//	32 changes between pages                                   TestScript, TestChanges, TestReadWhileChanging
//	33 buckets, windows, a client's share                      TestRateLimit
//	34 the 429 of a bucket                                     TestRateLimit, TestDuplicateRateHeaders
//	35 the 429 of concurrent requests                         TestConcurrency
//	36 a clock that is off                                     TestResponseHeaders
//	37 faults                                                  TestFaults, TestStall, TestFaultsAtTokenEndpoint
//	38 unknown paths, methods and ids                          TestPathsAndMethods, TestOneUser
//	39 maintenance: reads and tokens only                      TestPathsAndMethods
//	40 the System Log                                          TestLog
//	41 a list whose next link is in the body                   TestAssignees
//	42 TLS, or loopback                                        TestPlainOnlyOnLoopback
//	43 violations are counted                                  oneViolation, in most of these
//	44 custom authorization servers: rules 1 to 11 as well     TestAssertion, TestProofForToken, TestCustomServer
//	45 their scopes and policies                               TestCustomScopes
//	46 their tokens, metadata and keys                         TestCustomServer, TestMetadata, TestRotateKeys
//	47 groups: order, limit, q, filter, search                 TestGroupLists, TestGroupExpressions
//	48 forms and changes of groups                             TestGroups, TestGroupChanges
//	49 scope and roles for groups                              TestGroupAccess
//	50 edges: limits, pages, cursors                           TestReadAllEdges, TestAccessLimits
//	51 members of groups, groups of a user                     TestMembers
//	52 apps                                                    TestApps
//	53 users and groups of an app                              TestAssignments
//	54 access through a group                                  TestAccessThroughGroup
//	55 deletions end edges                                     TestDeletedEdges
//	56 scope, roles and licenses for apps and edges            TestAccessRoles
//	57 group rules                                             TestRules
//	58 lists of members and lastMembershipUpdated lag          TestMemberLag, TestStampLag
//	59 stamps that don't change                                TestUnchangedStamps
//	60 expand=stats, and pages that are too large              TestStats
//	61 buckets of groups and apps                              TestAccessBuckets
//	62 faults of edges                                         TestFaultsOfEdges
//	63 changes between pages of edges                          TestEdgesBetweenPages
//	64 deactivated users of apps                               TestSuspendedAssignments
//	65 changes while clients read edges                        TestReadEdgesWhileChanging
//	66 forms of API tokens                                    TestAPITokens
//	67 changes of API tokens                                  TestAPITokenChanges
//	68 scopes and roles for API tokens and factors            TestCredentialAccess
//	69 factors                                                TestFactors
//	70 changes of factors, and policies                       TestFactorChanges
//	71 admin roles of users, groups and clients               TestRoles
//	72 targets of admin roles                                  TestRoleTargets
//	73 custom roles, resource sets, bindings, members          TestCustomRoles
//	74 scope and permission for admin roles, their buckets     TestRoleAccess
//	75 wrong next links of lists whose links are in the body   TestBodyLinkFaults
