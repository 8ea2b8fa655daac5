// Command makeworld trains the world's policy and backbone on its demonstrations and writes them to a folder:
//
//	go run ./bayesrm/internal/makeworld notebooks/data/world
//
// See world.TrainModels. A few minutes on two cores.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/world"
)

const seed = 11

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: makeworld FOLDER")
	}
	ctx := progress.WithReporter(context.Background(), progress.NewMeter(5*time.Second, func(b progress.Bar) { fmt.Println(b) }).Report)
	if err := world.TrainModels(ctx, os.Args[1], seed); err != nil {
		log.Fatal(err)
	}
}
