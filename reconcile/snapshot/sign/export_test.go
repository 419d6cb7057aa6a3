package sign

// ParseSignerTime is exported for tests.
var ParseSignerTime = parseSignerTime
