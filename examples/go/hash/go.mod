module example.com/my-task

go 1.24
