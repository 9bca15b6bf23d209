package wire

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// RequestIDHeader is the header of HTTP that names a request, on the way in and on the way out.
const RequestIDHeader = "X-Request-Id"

// statusClientGone is what a client that has gone would be told.
const statusClientGone = 499

// HTTPError is an error that only HTTP has, such as a route that is not there.
type HTTPError struct {
	// Status is a code of HTTP, Reason one of ours, which is stable, and Message for people.
	Status          int
	Reason, Message string
}

// Error implements error.
func (e *HTTPError) Error() string { return e.Message }

// HTTPBody is the JSON of an error.
type HTTPBody struct {
	// Code is the reason, as in the details of an error of gRPC.
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"request_id,omitempty"`
}

// httpCodes are the codes of HTTP for those of gRPC. All others are 500.
var httpCodes = map[codes.Code]int{
	codes.Canceled:           statusClientGone,
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.Unauthenticated:    http.StatusUnauthorized,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.Aborted:            http.StatusConflict,
	codes.FailedPrecondition: http.StatusConflict,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
}

// HTTPStatus returns the code of HTTP for an error.
func HTTPStatus(err error) int {
	if e := (*HTTPError)(nil); errors.As(err, &e) {
		return e.Status
	}
	if errors.Is(err, ErrDiskFull) {
		return http.StatusInsufficientStorage
	}
	if code, ok := httpCodes[status.Code(ToStatus(err))]; ok {
		return code
	}
	return http.StatusInternalServerError
}

// HTTPErrorOf returns what a client is told of an error. header is that of the answer, which has the id of the request.
func HTTPErrorOf(header http.Header, err error) HTTPBody {
	body := HTTPBody{Code: Reason(err), Message: status.Convert(ToStatus(err)).Message(), RequestID: header.Get(RequestIDHeader)}
	if e := (*HTTPError)(nil); errors.As(err, &e) {
		body.Code, body.Message = e.Reason, e.Message
	}
	return body
}

// RetryHTTP tells the client when to come back, if that helps.
func RetryHTTP(header http.Header, err error) {
	if Retryable(err) {
		header.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(RetryIn(err).Seconds())))))
	}
}

// WriteHTTP answers with an error. The header must not have been written.
func WriteHTTP(w http.ResponseWriter, err error) {
	RetryHTTP(w.Header(), err)
	if errors.Is(err, ErrUnauthenticated) {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(HTTPStatus(err))
	_ = json.NewEncoder(w).Encode(map[string]HTTPBody{"error": HTTPErrorOf(w.Header(), err)}) // a client that has gone needs no answer
}
