package document

// WriteXLSXLimit is WriteXLSX with at most limit rows in a sheet.
var WriteXLSXLimit = writeXLSX
