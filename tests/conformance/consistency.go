// Command consistency checks, with golang.org/x/mod/sumdb/tlog, proofs that vault/merkle.py made.
//
// Standard input has one proof a line: old size, new size, old root, new root, hashes; base64, separated by spaces.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	count := 0
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := check(strings.Fields(lines.Text())); err != nil {
			fmt.Println("FAILED", lines.Text(), err)
			os.Exit(1)
		}
		count++
	}
	fmt.Println(count, "proofs hold")
}

func check(fields []string) error {
	older, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return err
	}
	newer, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return err
	}
	var hashes []tlog.Hash
	for _, field := range fields[2:] {
		hash, err := tlog.ParseHash(field)
		if err != nil {
			return err
		}
		hashes = append(hashes, hash)
	}
	return tlog.CheckTree(tlog.TreeProof(hashes[2:]), newer, hashes[1], older, hashes[0])
}
