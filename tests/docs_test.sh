#!/bin/sh
# docs_test.sh PIPPIN SHARED - what the documents show is what the program prints.
exec bash "$(dirname "$0")/../tools/update_docs.sh" "$1" --check
