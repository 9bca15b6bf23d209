package similarity

import "errors"

// ErrCorrupt is matched by every error about damaged bytes: a wrong magic number,
// version or checksum, or a value that no encoder writes.
var ErrCorrupt = errors.New("corrupt data")

// ErrShape is matched by every error about operands that are well formed by
// themselves but do not fit each other or the limits of this package.
var ErrShape = errors.New("wrong shape")
