package kafka

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/kith-io/kith/source"
)

// defaultGroup is the consumer group if none is given.
const defaultGroup = "kith"

// config is what is read, and from where.
type config struct {
	topic, group string
	follow       bool
	columns      []string
	decoder      decoder
	client       []kgo.Opt // brokers and security
}

// newConfig reads kafka://user@broker:port/topic with the parameters brokers (further ones, with commas between them), tls and sasl.
func newConfig(address *url.URL, o *source.Options) (config, error) {
	r := &o.Remote
	c := config{topic: strings.TrimPrefix(address.Path, "/"), group: cmp.Or(r.Group, defaultGroup), follow: r.Follow}
	if err := r.CheckGiven("Kafka", "group", "message_fields", "follow", "password_env"); err != nil {
		return c, err
	}
	if address.Host == "" || c.topic == "" || strings.Contains(c.topic, "/") {
		return c, fmt.Errorf("%w: want kafka://broker:port/topic", source.ErrOptions)
	}
	if len(r.Fields) == 0 {
		return c, fmt.Errorf("%w: no message_fields; list the paths of the JSON values, or the columns of the CSV rows", source.ErrOptions)
	}
	for i, f := range r.Fields {
		if slices.Contains(r.Fields[:i], f) {
			return c, fmt.Errorf("%w: field %q is listed twice", source.ErrOptions, f)
		}
	}
	var err error
	switch o.Format {
	case source.Auto, "jsonl":
		c.decoder, err = newJSONDecoder(r.Fields)
	case source.Delimited:
		c.decoder = &csvDecoder{splitter: source.NewRowSplitter(o), width: len(r.Fields), ragged: o.Ragged}
	default:
		err = fmt.Errorf("%w: format %s; messages are of jsonl, csv, tsv or delimited", source.ErrOptions, o.Format)
	}
	if err != nil {
		return c, err
	}
	c.columns = append(slices.Clone(r.Fields), "_key", "_partition", "_offset", "_timestamp")
	return c, c.connection(address, r)
}

// connection fills in c.client.
func (c *config) connection(address *url.URL, r *source.Remote) error {
	brokers := []string{address.Host}
	secure, mechanism := false, "plain"
	for key, values := range address.Query() {
		value := values[len(values)-1]
		switch key {
		case "brokers":
			brokers = append(brokers, strings.Split(value, ",")...)
		case "tls":
			if value != "true" && value != "false" {
				return fmt.Errorf("%w: tls is %q; want true or false", source.ErrOptions, value)
			}
			secure = value == "true"
		case "sasl":
			mechanism = value
		default:
			return fmt.Errorf("%w: parameter %q of the URL; want brokers, tls or sasl", source.ErrOptions, key)
		}
	}
	for i, b := range brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			brokers[i] = net.JoinHostPort(b, "9092")
		}
	}
	c.client = append(c.client, kgo.SeedBrokers(brokers...), kgo.ClientID("kith"))
	if secure {
		c.client = append(c.client, kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	name := address.User.Username()
	if name == "" {
		return nil
	}
	password, ok, err := r.Password(address)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: a user without a password; name the environment variable that has it with password_env", source.ErrOptions)
	}
	switch mechanism {
	case "plain":
		c.client = append(c.client, kgo.SASL(plain.Auth{User: name, Pass: password}.AsMechanism()))
	case "scram-sha-256":
		c.client = append(c.client, kgo.SASL(scram.Auth{User: name, Pass: password}.AsSha256Mechanism()))
	case "scram-sha-512":
		c.client = append(c.client, kgo.SASL(scram.Auth{User: name, Pass: password}.AsSha512Mechanism()))
	default:
		return fmt.Errorf("%w: sasl is %q; want plain, scram-sha-256 or scram-sha-512", source.ErrOptions, mechanism)
	}
	return nil
}
