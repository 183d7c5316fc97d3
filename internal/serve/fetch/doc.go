// Package fetch gets the photo behind a URL that a stranger wrote into a request.
//
// The danger is that the server stands where the stranger does not: next to
// databases, metadata services and other people's machines. So an address is
// fetched from only if it is public or the operator has listed it, and the check is
// made on the address that is dialled, at the moment it is dialled:
//
//	Get(url) ─► Own? ──yes──► the caller's own client (s3://…, its own endpoint)
//	            │ no
//	            ▼
//	      scheme, userinfo, port ─► names looked up ─► each address checked ─► dial
//	            ▲                                                              │
//	            └───────────────── redirect (at most 5) ◄──────────────────────┘
//
// A name is looked up once per connection and what was checked is what is dialled,
// so an answer that changes between check and use (DNS rebinding) gains nothing. The
// socket's own address is checked once more, by the dialer.
//
// What is decided here, and why:
//
//   - Schemes: http and https. User names and passwords in a URL are refused: they
//     would end up in logs, and nothing asks for them.
//   - Ports: 80, 443 and those from 1024 on. Below that live mail, shells and file
//     shares, which answer to the bytes of an HTTP request in unwanted ways. A
//     listed host may be reached at every port.
//   - Addresses: everything that IANA's special-purpose registries take out of the
//     public Internet, IPv6 forms that carry an IPv4 address (mapped, 6to4, NAT64,
//     Teredo), and cloud metadata services, wherever they are.
//   - Proxies of the environment are ignored: a proxy would dial for us, unchecked.
//   - Nothing is sent that says who we are or where we came from: no cookies, no
//     Referer (a first URL may be presigned), no credentials.
//   - One time limit covers everything from the name look-up to the last byte; one
//     size limit holds for the body as sent and as decompressed.
//
// Errors are *Error: a kind for errors.Is, a text for the client that names no
// internal address, and the address for the log.
package fetch
