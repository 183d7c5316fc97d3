// Package front is the one port's door. It takes three kinds of connections and
// lets a handler see only requests:
//
//	first byte 0x16 ──► TLS, with a certificate made for the name that the client asks for
//	CONNECT HOST:PORT ─► HOST is ours: the tunnel ends here, and begins again as a new connection
//	                     else: bytes are passed on, both ways, to where HOST really is
//	GET http://HOST/… ─► the same for plain HTTP
//	any other request ─► the handler
//
// Ours are the names below Amazon's domains (but for S3's of old, such as
// s3-us-west-1.amazonaws.com, which only links to public data have), and the
// address that the door listens at. A client that has the door as its proxy therefore reaches this
// server wherever it believes to call the cloud, names of buckets before names
// of hosts included, and the rest of the world as before.
//
//	DIR/ca.pem       the certificate authority that clients are told to trust
//	DIR/ca.key       its key
//	DIR/proxy-token  the password of proxy users on other machines
//
// The authority is made at first start. It can sign for Amazon's names, this
// machine's and addresses only, whoever gets hold of its key.
package front
