package content

// What tests look at alone.
var (
	CompareVectors = compareVectors
	VectorsOf      = vectorsOf
)
