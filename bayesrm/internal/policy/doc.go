// Package policy holds tests of the repository itself: who imports whom, and what the public packages export.
package policy
