// Command openapi is a plugin of protoc that makes an OpenAPI document of the methods with google.api.http annotations; `make generate` runs it. What
// has no place in the protocol is in frame.json.
//
// The document describes what package api/rest takes and answers, to the letter; the generators that there are describe other gateways.
package main

import (
	"fmt"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	protogen.Options{}.Run(func(p *protogen.Plugin) error {
		p.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
		var files []*protogen.File
		for _, f := range p.Files {
			if f.Generate {
				files = append(files, f)
			}
		}
		text, err := generate(files)
		if err != nil {
			return fmt.Errorf("openapi: %w", err)
		}
		_, err = p.NewGeneratedFile("openapi.json", "").Write(text)
		return err
	})
}
