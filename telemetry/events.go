package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Events counts the events that clients send to a process. It is safe for concurrent use.
type Events struct {
	appended, duplicates, erased prometheus.Counter
	rejected                     *prometheus.CounterVec
}

// NewEvents returns an Events.
func NewEvents(reg prometheus.Registerer) *Events {
	stored := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kith_events_total", Help: "Valid events that clients sent to this server, by what became of them: appended, duplicate, or erased as their user was.",
	}, []string{"outcome"})
	e := &Events{
		appended: stored.WithLabelValues("appended"), duplicates: stored.WithLabelValues("duplicate"), erased: stored.WithLabelValues("erased"),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kith_events_rejected_total", Help: "Events that clients sent to this server and that are not valid, by reason.",
		}, []string{"reason"}),
	}
	reg.MustRegister(stored, e.rejected)
	return e
}

// Stored counts events that were stored or recognized.
func (e *Events) Stored(appended, duplicates, erased uint64) {
	e.appended.Add(float64(appended))
	e.duplicates.Add(float64(duplicates))
	e.erased.Add(float64(erased))
}

// Rejected counts an event that is not valid, for a reason of fusion.Code.
func (e *Events) Rejected(reason string) { e.rejected.WithLabelValues(reason).Inc() }
