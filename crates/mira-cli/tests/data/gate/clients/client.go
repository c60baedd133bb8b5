// Command client walks through net/http of Go.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func send(url, authorization string) (*http.Response, error) {
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return nil, err
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	return http.DefaultClient.Do(request)
}

func get(url, authorization string) string {
	answer, err := send(url, authorization)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Status
	}
	return answer.Status + " " + string(text)
}

func main() {
	allowed, brokered, refused := os.Args[1], os.Args[2], os.Args[3]
	key := os.Getenv("KEY")
	fmt.Println("key", key)
	fmt.Println("allowed", get(allowed+"/echo", ""))
	fmt.Println("brokered", get(brokered+"/echo", "Bearer "+key))
	answer, err := send(brokered+"/sse", "")
	if err != nil {
		fmt.Println("no stream", err)
		os.Exit(1)
	}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if line := lines.Text(); strings.HasPrefix(line, "data: ") {
			event := strings.TrimPrefix(line, "data: ")
			fmt.Println("event", event)
			get(allowed+"/echo?ack="+event, "")
		}
	}
	fmt.Println("refused", get(refused+"/", ""))
}
