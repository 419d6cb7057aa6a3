package sandbox_test

// What the sandbox holds a client to, and which test breaks each rule:
//
//	 1 token requests are posted forms                         TestTokenRequest
//	 2 grant_type                                              TestTokenRequest
//	 3 the client assertion, claim by claim                    TestAssertion
//	 4 an unknown client is told so in the API's shape         TestClientKeys
//	 5 a secret, or two kinds of credentials                   TestTokenRequest
//	 6 scopes: none, none granted, fewer granted               TestTokenRequest, TestGrant
//	 7 expires_in                                              TestGrant, TestTokenEnds
//	 8 proofs at the token endpoint, and the nonce             TestProofForToken
//	 9 an app without DPoP gets Bearer, proof or not           TestNoDPoP
//	10 a nonce's life                                          TestNonceLife, TestNonceEvery
//	11 cnf.jkt                                                 TestGrant
//	12 proofs at the API                                       TestProofAtAPI, TestGoodProofAtAPI
//	13 nonces at the API: ignored, or demanded                 TestGoodProofAtAPI, TestNonceAtAPI
//	14 scheme and token have to fit                            TestTokenAtAPI
//	15 expired, revoked, foreign tokens                        TestTokenEnds, TestTokenAtAPI
//	16 no credentials                                          TestTokenAtAPI
//	17 a scope that is missing                                 TestScopesAndRoles
//	18 no role: nobody, or 403                                 TestScopesAndRoles
//	19 a role over a group                                     TestScopesAndRoles
//	20 headers of every answer                                 TestAnswerHeaders
//	21 who is in which list                                    TestWhoIsListed
//	22 limit                                                   TestLimit
//	23 Link headers                                            TestPaging, TestLinkForms
//	24 cursors: opaque, bound to a query, expiring             TestPaging, TestCursorLife
//	25 next repeats the query                                  TestPaging
//	26 next links that lead astray, short and empty pages      TestNextFaults
//	27 the languages of filter and search                      TestExpressions
//	28 sorting                                                 TestSort
//	29 an index that lags                                      TestIndexLag
//	30 fields and okta-response                                TestView
//	31 what users look like                                    TestPeople, TestPut
//	32 changes between pages                                   TestScript, TestChanges
//	33 buckets, windows, a client's share                      TestRateLimit
//	34 the 429 of a bucket                                     TestRateLimit, TestDuplicateRateHeaders
//	35 the 429 of too many at once                             TestConcurrency
//	36 a clock that is off                                     TestAnswerHeaders
//	37 faults                                                  TestFaults, TestStall, TestFaultsAtTokenEndpoint
//	38 unknown paths, methods and ids                          TestPathsAndMethods, TestOneUser
//	39 maintenance: reads and tokens only                      TestPathsAndMethods
//	40 the System Log                                          TestLog
//	41 a list whose next link is in the body                   TestAssignees
//	42 TLS, or loopback                                        TestPlainOnlyOnLoopback
//	43 whoever breaks a rule is counted                        oneViolation, in most of these
//	44 custom authorization servers: rules 1 to 11 as well     TestAssertion, TestProofForToken, TestCustomServer
//	45 their scopes and policies                               TestCustomScopes
//	46 their tokens, metadata and keys                         TestCustomServer, TestMetadata, TestRotateKeys
//	47 groups: order, limit, q, filter, search                 TestGroupLists, TestGroupExpressions
//	48 what groups look like, BUILT_IN ones                    TestGroups, TestGroupChanges
//	49 scope and roles for groups                              TestGroupAccess
