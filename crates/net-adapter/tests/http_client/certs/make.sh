#!/bin/sh
# Makes the certificates of the TLS tests anew. The keys are for these tests only and guard nothing.
#   ca          vouches for all but self; the tests trust it
#   good        localhost and 127.0.0.1
#   wrong-name  other.example
#   expired     localhost, over since 2001
#   self        localhost, vouched for by itself
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

cat >"$work/ca.conf" <<CONF
[ca]
default_ca = tests
[tests]
new_certs_dir = $work
database = $work/index
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
CONF
: >"$work/index"

make() { # name, who signs, start, end, extensions...
    name=$1 by=$2 start=$3 end=$4
    shift 4
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$name.key" 2>/dev/null
    openssl req -new -key "$name.key" -subj "/CN=annals test $name" -out "$work/csr"
    printf '%s\n' "$@" >"$work/ext"
    signer="-cert $by.pem -keyfile $by.key"
    [ "$by" = "$name" ] && signer="-selfsign -keyfile $name.key"
    # shellcheck disable=SC2086
    openssl ca -batch -notext -config "$work/ca.conf" -extfile "$work/ext" $signer \
        -startdate "$start" -enddate "$end" -in "$work/csr" -out "$name.pem" 2>/dev/null
}

names='subjectAltName=DNS:localhost,IP:127.0.0.1'
make ca ca 20000101000000Z 21000101000000Z basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign
make good ca 20000101000000Z 21000101000000Z "$names" basicConstraints=critical,CA:FALSE
make wrong-name ca 20000101000000Z 21000101000000Z subjectAltName=DNS:other.example basicConstraints=critical,CA:FALSE
make expired ca 20000101000000Z 20010101000000Z "$names" basicConstraints=critical,CA:FALSE
make self self 20000101000000Z 21000101000000Z "$names" basicConstraints=critical,CA:FALSE
rm ca.key
