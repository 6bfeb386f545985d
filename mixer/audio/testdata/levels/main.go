// Command levels writes how loud the demo's voices are, as the wire carries it
// (RFC 6464: whole dB below overload, 0 to 127, one a packet of 20 ms), a line
// a sentence: the voice's name, then its levels. The tests of who speaks read
// it, as the mixer must not know an Opus decoder. From the repository's root:
//
//	go run ./mixer/audio/testdata/levels >mixer/audio/testdata/speech.txt
package main

import (
	"bufio"
	"fmt"
	"log"
	"math"
	"os"

	"tutti/assets/speech"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	for _, name := range speech.Names() {
		v, err := speech.Load(name)
		if err != nil {
			log.Fatal(err)
		}
		for _, s := range v.Sentences {
			fmt.Fprint(out, name)
			for _, p := range v.Packets[s.From:s.To] {
				fmt.Fprintf(out, " %d", int(math.Round(-p.LevelDBOV)))
			}
			fmt.Fprintln(out)
		}
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}
