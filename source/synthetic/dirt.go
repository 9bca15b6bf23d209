package synthetic

// fault is what is wrong with a row.
type fault uint8

const (
	clean       fault = iota
	missingUser       // all but blanks and duplicate are damaged copies after the good row
	missingItem
	badTime
	badBehavior
	badNumber // of orders
	shortRow
	duplicate // the same row again
	blanks    // around the keys of the row itself
	faults
)

var faultNames = [faults]string{
	"", "missing_user", "missing_item", "bad_time", "bad_behavior", "bad_number", "short_row", "duplicate", "blanks",
}

var (
	eventFaults = []fault{missingUser, missingItem, badTime, badBehavior, shortRow, duplicate, duplicate, blanks, blanks}
	orderFaults = []fault{missingUser, missingItem, badTime, badBehavior, badNumber, shortRow, duplicate, duplicate, blanks, blanks}
)

var badTimes = []string{"yesterday", "2025-13-41T25:61:61Z", "n/a", "0000-00-00 00:00:00"}

var badNumbers = []string{"two", "NaN", "1x", "#REF!"}

var badBehaviors = []string{"??", "Undefined!", "-"}
