package synthetic

import "context"

func (g *generator) writeMapping(context.Context) error {
	t := g.open(MappingFile, "")
	t.text(mapping)
	return g.close(t)
}

const mapping = ``
