// Package certs makes the certificates of a cluster, and uses them: a certificate authority, nodes and clients on one side, and
// TLS settings that follow their files on the other.
//
// What a certificate stands for is in its URI names, one for each role:
//
//	kith://CLUSTER/ROLE      such as kith://shop/node or kith://shop/read
//
// CLUSTER is a name that the operator chose, so that one authority may serve several clusters. A certificate with the role node is
// that of a server; package auth knows the others. Certificates of other authorities fit if they carry such names.
package certs
