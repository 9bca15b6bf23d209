package synthetic

import "context"

func (g *generator) writeMapping(context.Context) error {
	t := g.open(MappingFile, "")
	t.text(mapping)
	return g.close(t)
}

// mapping says how to read the logs. It is what `kith ingest --mapping` takes.
const mapping = `# How to read the logs of this generated shop:
#
#   kith ingest --mapping map.yaml
#
# Paths are relative to this file. See truth.json for what is planted.
sources:
  - name: events
    path: events.csv
    format: csv
    columns:
      id: event
      time: time
      user: user # of anonymous sessions the device; see identities.csv
      item: item
      behavior: behavior
    behaviors:
      view: view
      search: search
      cart: cart
  - name: orders
    path: orders.csv
    format: csv
    columns:
      id: event
      time: time
      user: user
      item: item
      behavior: status
      value: quantity
    behaviors:
      purchase: purchase
      cancel: cancel
`
