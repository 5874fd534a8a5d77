// bfloat16 stands in cuda_on_cpu.h, which every kernel of the emulator begins with.
